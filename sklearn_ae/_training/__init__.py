"""How weights are found: the engine, its fast path, the recipe, selection."""
