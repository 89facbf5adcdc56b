"""Start from a trained network, and distillation from a teacher."""
