"""What programs of other people use, and the command line too: the radios, the boards they hear, and sharing them.

``enmctl`` itself offers the names (docs/library.md); they are imported when they are used.
"""
