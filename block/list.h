// A first-in first-out list threaded through its elements' `next`: batches and queues without allocation.
#pragma once

#include <utility>

namespace berth::block {

// T has a member `T* next`. An element is on at most one list; the list owns nothing.
template <typename T>
class List {
 public:
  List() = default;
  List(List&& other) noexcept { Append(std::move(other)); }
  List& operator=(List&& other) noexcept {
    first_ = last_ = nullptr;
    Append(std::move(other));
    return *this;
  }

  bool empty() const { return first_ == nullptr; }
  T* front() const { return first_; }

  void PushBack(T* element) {
    element->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = element;
    last_ = element;
  }

  T* PopFront() {
    T* element = first_;
    if (element != nullptr) first_ = std::exchange(element->next, nullptr);
    return element;
  }

  // Takes all of `other`, which is empty afterwards.
  void Append(List&& other) {
    if (other.empty()) return;
    (first_ == nullptr ? first_ : last_->next) = std::exchange(other.first_, nullptr);
    last_ = other.last_;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;  // Meaningful while first_ is not null.
};

}  // namespace berth::block
