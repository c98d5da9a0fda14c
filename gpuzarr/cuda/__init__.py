"""CUDA: find, compile and launch the kernels, and call nvCOMP. CuPy is imported only when a device is asked for."""
