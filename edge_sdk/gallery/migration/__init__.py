"""Change the model of a gallery: templates from stored captures or by a map between two embedding spaces."""
