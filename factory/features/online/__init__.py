"""The context of a decision: the clean rows that features look back on, kept beside the models for the gateway.

A business row at the gateway's door becomes features by the line's own contract, repair and build, on these tables; so
what serves sees what training saw, and the gateway needs nothing but its model repository and the lines' code.

look_back.py   a line's `context` section: how far back its features look
manifest.py    what a context says of itself, signed
store.py       where contexts lie in the model repository, and how they are read and written
records.py     business rows as JSON → the raw table's own types
builder.py     business rows → contract → repair → features → what the network eats
sources.py     which code makes features, as one digest
making.py      a line's clean tables → its context
checking.py    does it give the very features that training has? Recent rows of each site are built anew
serving.py     the contexts as a running gateway follows them
"""
