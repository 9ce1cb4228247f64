"""Pages, work queues and live updates. Reads the store; asks the engine for changes."""
