#include "hw/pci/hot_plug_slot.h"

#include <utility>

#include "hw/pci/trace.h"

namespace berth::hw {
namespace {

// Registers, by their offset in the capability.
constexpr uint16_t kLinkCapabilities = 0x0c, kLinkStatus = 0x12, kSlotCapabilities = 0x14,
                   kSlotControl = 0x18, kSlotStatus = 0x1a;
constexpr uint32_t kLinkActiveReporting = 1 << 20;
constexpr uint16_t kLinkActive = 1 << 13;

// Slot capabilities: attention button, power controller, both indicators, hot plug, and a card may be gone
// without a word. No sensor, no interlock; each command is told to be completed.
constexpr uint32_t kButton = 1 << 0, kPowerController = 1 << 1, kAttentionIndicator = 1 << 3,
                   kPowerIndicator = 1 << 4, kSurprise = 1 << 5, kHotPlug = 1 << 6;
constexpr unsigned kSlotNumberShift = 19;

// Slot control.
constexpr uint16_t kButtonEnable = 1 << 0, kHotPlugInterruptEnable = 1 << 5, kAttentionMask = 3 << 6,
                   kAttentionOff = 3 << 6, kPowerIndicatorMask = 3 << 8, kPowerIndicatorOn = 1 << 8,
                   kPowerIndicatorBlinks = 2 << 8, kPowerIndicatorOff = 3 << 8, kPowerOff = 1 << 10,
                   kLinkChangeEnable = 1 << 12;
constexpr uint16_t kControlWritable =
    0x003f | kAttentionMask | kPowerIndicatorMask | kPowerOff | kLinkChangeEnable;

// Slot status: events, which a written 1 clears, and whether a card is there.
constexpr uint16_t kButtonPressed = 1 << 0, kPresenceChanged = 1 << 3, kCommandCompleted = 1 << 4,
                   kPresent = 1 << 6, kLinkChanged = 1 << 8;
constexpr uint16_t kEvents = 0x011f;
// The events that have their enable bit in the same place of slot control; the link's is in bit 12.
constexpr uint16_t kPlainEvents = 0x001f;

}  // namespace

void HotPlugSlot::Describe(std::span<uint8_t> express_body, uint8_t slot_number) {
  // Offsets in the specification count the two bytes before the body.
  uint8_t* const link = &express_body[kLinkCapabilities - 2];
  StoreLe<uint32_t>(link, LoadLe<uint32_t>(link) | kLinkActiveReporting);
  StoreLe<uint32_t>(&express_body[kSlotCapabilities - 2], kButton | kPowerController | kAttentionIndicator |
                                                              kPowerIndicator | kSurprise | kHotPlug |
                                                              uint32_t{slot_number} << kSlotNumberShift);
}

HotPlugSlot::HotPlugSlot(ConfigSpace* config, uint16_t express) : config_(config), express_(express) {
  config_->SetWritable<uint16_t>(express_ + kSlotControl, kControlWritable);
  config_->SetWriteOneToClear<uint16_t>(express_ + kSlotStatus, kEvents);
  Reset();
}

uint16_t HotPlugSlot::control() const { return config_->Get<uint16_t>(express_ + kSlotControl); }

void HotPlugSlot::SetControl(uint16_t value) { config_->Set<uint16_t>(express_ + kSlotControl, value); }

bool HotPlugSlot::Holds(uint16_t offset, unsigned size) const {
  const uint16_t at = express_ + kSlotControl;
  return offset < at + 2 && at < offset + size;
}

bool HotPlugSlot::powered() const { return (control() & kPowerOff) == 0; }

bool HotPlugSlot::Released() const {
  return !powered() && (control() & kPowerIndicatorMask) == kPowerIndicatorOff;
}

void HotPlugSlot::Raise(uint16_t events) {
  trace::pci_slot_events(events, control());
  const uint16_t at = express_ + kSlotStatus;
  config_->Set<uint16_t>(at, config_->Get<uint16_t>(at) | events);
}

void HotPlugSlot::FollowLink() {
  const uint16_t at = express_ + kLinkStatus;
  const auto status = config_->Get<uint16_t>(at);
  const uint16_t now = occupied_ && powered() ? status | kLinkActive : status & ~kLinkActive;
  if (now == status) return;
  config_->Set<uint16_t>(at, now);
  Raise(kLinkChanged);
}

void HotPlugSlot::Insert() {
  const uint16_t at = express_ + kSlotStatus;
  occupied_ = pressed_for_card_ = true;
  config_->Set<uint16_t>(at, config_->Get<uint16_t>(at) | kPresent);
  Raise(kPresenceChanged | kButtonPressed);
  FollowLink();
}

void HotPlugSlot::Remove() {
  const uint16_t at = express_ + kSlotStatus;
  occupied_ = requested_ = pressed_for_card_ = answering_ = false;
  config_->Set<uint16_t>(at, config_->Get<uint16_t>(at) & ~kPresent);
  Raise(kPresenceChanged);
  FollowLink();
}

void HotPlugSlot::RequestRemoval() {
  requested_ = true;
  if (!Released()) Raise(kButtonPressed);
}

Removal HotPlugSlot::removal() const {
  if (!requested_) return Removal::kNone;
  return Released() ? Removal::kReleased : Removal::kAsked;
}

bool HotPlugSlot::Written(uint16_t before) {
  uint16_t now = control();
  // 00 is reserved for both indicators: they stay as they are.
  for (const uint16_t indicator : {kAttentionMask, kPowerIndicatorMask}) {
    if ((now & indicator) == 0) now |= before & indicator;
  }
  SetControl(now);
  Raise(kCommandCompleted);
  FollowLink();
  FollowIndicator(before & kPowerIndicatorMask, now & kPowerIndicatorMask);
  // Nobody has listened yet when the button was pressed.
  if (requested_ && powered() && (now & ~before & kButtonEnable) != 0) Raise(kButtonPressed);
  return occupied_ && (now & ~before & kPowerOff) != 0;
}

void HotPlugSlot::FollowIndicator(uint16_t before, uint16_t now) {
  if (!powered()) {
    answering_ = false;
    if (now == kPowerIndicatorBlinks) pressed_for_card_ = false;  // The guest is about to switch the card on.
    return;
  }
  // It blinks while a card is switched on, too.
  const bool begins = before == kPowerIndicatorOn && now == kPowerIndicatorBlinks;
  const bool keeps = answering_ && now == kPowerIndicatorOn;
  answering_ = begins || (answering_ && !keeps);
  if (requested_ ? !keeps : !begins) return;
  // The press that came with the card was taken for a request to remove it, or has cancelled ours: one more
  // puts that right. Without it, the guest keeps the card.
  if (std::exchange(pressed_for_card_, false)) {
    Raise(kButtonPressed);
  } else {
    requested_ = false;
  }
}

bool HotPlugSlot::interrupting() const {
  const uint16_t enabled = control();
  const auto status = config_->Get<uint16_t>(express_ + kSlotStatus);
  const bool link = (status & kLinkChanged) != 0 && (enabled & kLinkChangeEnable) != 0;
  return (enabled & kHotPlugInterruptEnable) != 0 && (link || (status & enabled & kPlainEvents) != 0);
}

void HotPlugSlot::Reset() {
  requested_ = pressed_for_card_ = answering_ = false;
  SetControl(kAttentionOff | kPowerIndicatorOn);
  FollowLink();
  config_->Set<uint16_t>(express_ + kSlotStatus, occupied_ ? kPresent : uint16_t{0});
}

}  // namespace berth::hw
