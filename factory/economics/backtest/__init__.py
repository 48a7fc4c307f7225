"""A year walked again, as if it were happening: what the factory earned, beside not retraining and doing it blindly.

    moments(…)      the days at which time stops, new rows arrive and decisions about models are taken
    Worth           what decisions were worth, of models asked again or of predictions on record
    report(…)       what each policy earned and paid in each period: what `--json` prints
    picture(…)      what each policy earned so far, as SVG
    show(…)         the table for people

What walks the calendar is factory/orchestration/backtest.py, for it drives the orchestrator.
"""
