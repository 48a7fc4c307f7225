"""A backtest: a past year replayed, and what the factory earned compared with never retraining and retraining blindly.

    moments.py   the days at which new rows arrive and models are decided on
    worth.py     what decisions were worth, made by a model or read from recorded predictions
    tally.py     what each policy earned and paid in each period: what `--json` prints
    picture.py   what each policy earned so far, as SVG

factory/orchestration/backtest.py runs it, because it drives the orchestrator.
"""
