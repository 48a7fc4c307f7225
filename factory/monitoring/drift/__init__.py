"""Whether a site's world has moved away from what its model was trained on, and what that may cost.

    profiles = reference_profiles(rows, columns)     at training; JSON, stored with the model
    shifts = measured(window, columns, profiles)     one window, such as a week: an effect size and a p-value each
    states, alerts = watched(states, shifts, …)      false discoveries controlled, k of n windows, quiet after training
    reference(…), shifts(…)                          the same for a line's release: features, answers, their worth

Pure functions: state in, verdict out. Effects are for people to read, p-values keep noise out: both must speak.
"""
