"""Tables as `nvidia-smi nvlink` and `nvidia-smi topo -m` print them."""
