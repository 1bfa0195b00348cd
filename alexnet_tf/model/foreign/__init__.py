"""Weights from elsewhere: Caffe's, torchvision's, Keras'. The files are not trusted."""
