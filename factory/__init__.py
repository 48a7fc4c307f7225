"""HOW a line works: a pure library that knows neither the orchestrator nor the registry.

`contract` judges raw rows, `cleaning` splits them, `training` makes models, `gates` judges those, `repository` and
`gateway` serve what passed. Everything outside the process comes in as an argument.
"""
