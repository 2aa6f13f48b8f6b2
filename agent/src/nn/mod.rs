//! Parameters, layers and fused kernels on dfdx tensors and tape: the only place that names dfdx.
