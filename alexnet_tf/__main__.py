"""`python -m alexnet_tf train` is the installed `alexnet-tf train`."""

from alexnet_tf.cli import main

main()
