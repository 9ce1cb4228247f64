"""What pages read: plain functions from a connection to dataclasses.

Whatever runs often rests on an index, which tests assert.
"""
