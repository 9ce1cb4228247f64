"""One module per area of the pages.

A handler takes a call and returns a response; what it needs is declared in `hub.web.routes`.
"""
