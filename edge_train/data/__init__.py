"""Pictures for training: subjects of a folder, batches, augmentation."""
