"""The online snapshot: the clean rows that features look back on, kept beside the models for the gateway.

A business row at the gateway's door becomes features by the line's own contract, repair and build, on these tables; so
features at serving equal features in training, and the gateway needs only its model repository and the lines' code.

manifest.py       a snapshot's manifest, signed
store.py          where snapshots lie in the model repository, and how they are read and written
business_rows.py  business rows as JSON → the raw table's own types
builder.py        business rows → contract → repair → features → the network's input
code.py           the code that makes features, as one digest
assembly.py       a line's clean tables → its snapshot
past.py           its tables as they were known at moments of the past
proof.py          whether it gives the features that training has: recent rows of each site are built again
serving.py        the snapshots as a running gateway follows them
"""
