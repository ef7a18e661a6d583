// A guest's agent as QEMU's is (its reference, qemu-ga-ref), or as it should not be, by its manner:
//
//   silent         never answers
//   refuse         refuses to freeze
//   hang_freeze    freezes and does not say so
//   lose_thaw      does nothing of the first thaw that it is asked for, nor answers it
//   thaw_itself    has its file systems thawed when it is asked to do that
//   wrong_id       answers guest-sync-delimited with another id
//   garbage        answers with what is no JSON
//   no_number      answers with a result that is none
//   endless        answers without end
//   cut            ends in the middle of an answer
//   chatty         says much, of others' business, before it answers
#pragma once

#include <string>
#include <string_view>

namespace berth {

class FakeAgent {
 public:
  explicit FakeAgent(std::string manner = "") : manner_(std::move(manner)) {}

  // What it answers to these bytes, which need not be whole commands.
  std::string Hear(std::string_view bytes);
  // It has ended, once what it answered is sent.
  bool over() const { return over_; }

  bool frozen() const { return frozen_; }
  int freezes() const { return freezes_; }

 private:
  std::string Answer(const std::string& command);
  std::string Do(const std::string& command);

  const std::string manner_;
  std::string heard_;
  bool frozen_ = false, over_ = false, lost_ = false;
  int freezes_ = 0;
};

}  // namespace berth
