"""Dev sets: one table of what a model is measured on, and how. `npm run evaluate` and stage `evaluate` read it."""
