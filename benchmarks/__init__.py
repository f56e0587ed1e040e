"""How fast it is, as ratios measured side by side in one run: `make bench`.

Nothing here is shipped, and nothing under `src/` knows of it. What it knows of storecredit is what
an operator knows (the command, HTTP, the SQL functions), and for the figures of the ledger alone
the group commit. `README.md` beside this file says what each figure is and how to read it.
"""
