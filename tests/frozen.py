"""Imported last by the process that commands are forks of: what it has by now is never garbage.

So no fork looks through it when it collects garbage, nor gets a copy of its own of what it has
looked through.
"""

import gc

gc.collect()
gc.freeze()
