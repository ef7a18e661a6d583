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

// What later kernels have.
#ifndef KVM_CAP_PRE_FAULT_MEMORY  // Linux 6.11
#define KVM_CAP_PRE_FAULT_MEMORY 236
struct kvm_pre_fault_memory {
  __u64 gpa;
  __u64 size;
  __u64 flags;
  __u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif
#ifndef KVM_X86_QUIRK_SLOT_ZAP_ALL  // Linux 6.12
#define KVM_X86_QUIRK_SLOT_ZAP_ALL (1 << 7)
#endif

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_irq_routing) == 8);
