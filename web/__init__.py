"""The pages, the HTTP API and the flows' own routes. Knows the engine, never a module of the palette."""
