// The slot of a port with native hot plug: a card, its power, an attention button, and what the guest is told
// of them. PCI Express Base 5.0, 6.7.1 (the elements), 6.7.3 (events), 7.5.3.9 to 7.5.3.11 (registers).
//
// A guest is asked for a card as by the button beside the slot. It gives the card up by taking the power away
// and the power indicator to off (6.7.1.1.2: removal is permitted), and keeps it by the indicator going from
// blinking back to on. A card that is put in comes with a press of the button, for which Linux waits. It may
// see that late, when it has found the card by itself and switched it on: as a request to remove it.
#pragma once

#include <cstdint>

#include "hw/pci/config_space.h"

namespace berth::hw {

// How far taking a card out is.
enum class Removal {
  kNone,      // Nobody asks for it.
  kAsked,     // The guest has not answered yet.
  kReleased,  // It may be pulled out.
};

// One user at a time (the host bridge serialises configuration accesses).
class HotPlugSlot {
 public:
  // Adds what a slot is to the body of a PCI Express capability (version 2), before that is added to
  // `config`.
  static void Describe(std::span<uint8_t> express_body, uint8_t slot_number);
  // `express` is where the capability is; `config` outlives this.
  HotPlugSlot(ConfigSpace* config, uint16_t express);

  // A card is put in, or pulled out: at any time, whatever the guest does.
  void Insert();
  void Remove();
  // Presses the button to ask for the card.
  void RequestRemoval();
  Removal removal() const;

  // The guest wrote to slot control, which was `before`. True if the card is without power from now on.
  bool Written(uint16_t before);
  uint16_t control() const;
  // Whether slot control is in these registers.
  bool Holds(uint16_t offset, unsigned size) const;

  bool powered() const;
  // Whether the guest is to be interrupted for what has happened and was not acknowledged yet (6.7.3.4).
  bool interrupting() const;
  // As after power-on: with power, nothing happened, nothing asked for.
  void Reset();

 private:
  // What the guest means with the power indicator, `before` and `now`.
  void FollowIndicator(uint16_t before, uint16_t now);
  void SetControl(uint16_t value);
  void Raise(uint16_t events);
  // The link is up while a card has power.
  void FollowLink();
  bool Released() const;

  ConfigSpace* const config_;
  const uint16_t express_;
  bool occupied_ = false;
  bool requested_ = false;
  bool answering_ = false;         // The guest has seen a press, and may still be told to leave the card.
  bool pressed_for_card_ = false;  // The button, with the card; the guest has not answered yet.
};

}  // namespace berth::hw
