"""A host: durable blobs in a folder, expectations, receipts, and its life with a coordinator."""
