"""An EHR, a clearinghouse and a payer for the demo and the tests, with code and books of their own.

They import nothing else of the hub: sharing its parsers and writers, they would agree with its mistakes.
"""
