"""Go's text/template in Python: pure, without a way to Python's objects, and with bounded work.

`template` is the door: it reads a text (`lex`, `literals`, `parse`, `nodes`), makes functions of the trees (`compile`,
`expressions`, `calls`, `scope`) and runs them (`execute`, `limits`). `values` are what they work with, `builtins`,
`compare`, `fmt`, `json` and `escape` the functions. Follows Go 1.27; a differential test compares it with Go itself.
"""
