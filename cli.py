"""Shim: `python cli.py train` from a clone is the installed `alexnet-tf train`."""

from alexnet_tf.cli import main

if __name__ == "__main__":
    main()
