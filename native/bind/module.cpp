// The Python face of the kernels: arrays in, arrays out, the GIL released while they work.
#include "bind.h"

NB_MODULE(_native, module) {
    // An interrupted run ends with tables still referenced; that is no leak to report to a user.
    nanobind::set_leak_warnings(false);
    module.doc() = "Native kernels of vfl_crypto.";
    vflnative::bind::bind_cpu(module);
    vflnative::bind::bind_paillier(module);
    vflnative::bind::bind_curve25519(module);
}
