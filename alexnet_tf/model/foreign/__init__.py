"""Import of weights from Caffe, torchvision and Keras. The files are not trusted."""
