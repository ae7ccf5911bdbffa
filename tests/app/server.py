"""Serve the App on a dataset until interrupted: ``python server.py <dataset> <port>``."""

import sys

import fiftyone as fo

if __name__ == "__main__":
    session = fo.launch_app(
        fo.load_dataset(sys.argv[1]), port=int(sys.argv[2]), address="127.0.0.1", remote=True
    )
    print("READY", flush=True)
    session.wait(-1)
