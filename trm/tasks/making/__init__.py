"""What builders of data sets share."""
