"""Import weights from files of Caffe, PyTorch and Keras, which are not trusted."""
