"""Many nodes on one screen, read from a Prometheus server: queries, client, engine and view data.

`source` defines the named queries' answers, `queries` their PromQL text; `prometheus` gets them by HTTP,
`simulated` makes them up. `engine` turns the answers into a `FleetView`, which screen, text and JSON show.
"""
