"""What users construct: an estimator each, and the way of a fit that they share."""
