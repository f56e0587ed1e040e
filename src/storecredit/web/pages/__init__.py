"""What pages in a browser share, whoever they are for: how they look, what they ask, who is in.

A page is a template (`templates/` here, and a folder of that name beside each door's handlers)
rendered by `rendering.page()`, under a policy that allows no script or style but those of
`assets/`. Whoever is signed in is found by `signed_in.py`; a form is read by `forms.py`, which
also proves that it was sent from a page of ours, and that it acts once.
"""
