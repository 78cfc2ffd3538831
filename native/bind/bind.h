// One bind_* function per kernel family; module.cpp calls them all.
#pragma once

#include <nanobind/nanobind.h>

namespace vflnative::bind {

void bind_cpu(nanobind::module_& module);
void bind_paillier(nanobind::module_& module);
void bind_curve25519(nanobind::module_& module);
void bind_ring(nanobind::module_& module);
void bind_rns(nanobind::module_& module);
void bind_sampler(nanobind::module_& module);
void bind_image_sums(nanobind::module_& module);
void bind_ckks(nanobind::module_& module);

}  // namespace vflnative::bind
