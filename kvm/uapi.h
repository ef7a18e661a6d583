// <linux/kvm.h> as it is meant; our .cc files include it through here.
//
// The kernel headers of Debian 12 (Linux 6.1) put an empty struct before flexible arrays, which in C++ has a
// size: the structures come out too large, and with them the ioctl numbers that are made from their sizes.
#pragma once

// clang-format off
#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[0]
#include <linux/kvm.h>
// clang-format on

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_irq_routing) == 8);
