"""The live screen. The only package that imports Textual."""
