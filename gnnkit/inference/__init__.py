"""What is done with a trained model: predictions, embeddings, exported programs."""
