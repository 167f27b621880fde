"""A convolutional network (a baseline): cells see their neighbours, a layer at a time, and nothing is called twice."""
