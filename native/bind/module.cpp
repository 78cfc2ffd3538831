// The Python face of the kernels: arrays in, arrays out, the GIL released while they work.
#include "bind.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

NB_MODULE(_native, module) {
    // An interrupted run ends with tables still referenced; that is no leak to report to a user.
    nanobind::set_leak_warnings(false);
#if defined(__GLIBC__)
    // Arrays of some megabytes come and go with every call. Handed back to the system each time,
    // their pages would be faulted in and zeroed again, which costs as much as the transforms.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
    module.doc() = "Native kernels of vfl_crypto.";
    vflnative::bind::bind_cpu(module);
    vflnative::bind::bind_paillier(module);
    vflnative::bind::bind_curve25519(module);
    vflnative::bind::bind_ring(module);
    vflnative::bind::bind_rns(module);
    vflnative::bind::bind_sampler(module);
    vflnative::bind::bind_image_sums(module);
    vflnative::bind::bind_ckks(module);
}
