#include "block/image_node.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/pieces.h"
#include "block/file.h"
#include "block/file_image.h"
#include "block/image_workers.h"
#include "block/trace.h"

namespace berth::block {
namespace {

// Zeroes that are filled in on the loop's thread.
constexpr uint64_t kMaxZeroBytes = 1 << 20;
// A file that an image is in may grow to this size.
constexpr uint64_t kMaxFileBytes = INT64_MAX & ~uint64_t{4095};

class ImageNodeImpl final : public ImageNode {
 public:
  ImageNodeImpl(EventLoop* loop, IoEngine* engine, std::unique_ptr<FormatImage> image)
      : engine_(engine),
        image_(image.get()),
        workers_(loop, std::move(image), [this](Request* request) { Done(request); }) {
    flush_.op = Op::kFlush;
  }
  ~ImageNodeImpl() override { Drain(); }

  Status Start(const std::function<Status()>& prepare);

  uint64_t size_bytes() const override { return image_->size_bytes(); }
  const Limits& limits() const override { return image_->limits(); }
  void Submit(List<Request> batch) override;
  void Drain() override;
  Status WriteBack() override;
  Status Grow(uint64_t size_bytes) override;
  Counters counters() const override { return counters_; }
  Status Exchange(const ImageChange& change) override;
  void BeginJob(std::function<void(FormatImage& image)> job) override {
    workers_.Begin([image = image_, job = std::move(job)] { job(*image); });
  }
  void AwaitJob() override;
  void RecordChanges(DirtyMap* changes) override { changed_ = changes; }

 private:
  // A file that some image of the chain keeps its content in.
  struct File {
    const Image* image = nullptr;
    std::unique_ptr<BlockNode> node;
    List<Request> batch;
  };
  // A request on its way past the image. The caller's is left as it is.
  struct Passage : Request {
    ImageNodeImpl* node = nullptr;
    Request* origin = nullptr;
    FormatImage* image = nullptr;  // That is to be told when it is over.
    int ticket = 0;
  };

  static bool Changes(const Request& request) { return request.op != Op::kRead; }
  bool Ragged(const Request& request) const {
    return !IsAligned(request.offset | request.length, limits().block_size_bytes);
  }
  bool HasFile(const Image* image) const;
  Status Reach(FormatImage* image) override;
  void StandOn(FormatImage* image);
  Status ExchangeDrained(const ImageChange& change);
  void Record(const Request& request) {
    if (changed_ != nullptr && Changes(request)) changed_->Mark(request.offset, request.length);
  }
  bool GoPast(Request* request);
  void PassOn(Request* request, File* file, FormatImage* image, const Location& location);
  void Passed(Passage* passage);
  bool MayStart(const Request& request) const;
  void HandOver(Request* request);
  void Done(Request* request);
  void Continue();
  void SubmitFiles();
  void StartFlush();

  IoEngine* const engine_;
  FormatImage* image_;
  std::vector<FormatImage*> chain_;  // From the image downwards.
  std::vector<File> files_;
  std::vector<std::unique_ptr<Passage>> idle_;
  DirtyMap* changed_ = nullptr;
  List<Request> waiting_;  // For a thread.
  unsigned passing_ = 0;
  unsigned running_ = 0;  // On threads, without the flush.
  unsigned changes_ = 0;  // Of those that pass or run.
  // Changes of parts of blocks, of those that wait or run. With O_DIRECT, each reads blocks and writes them
  // back: alone.
  unsigned ragged_ = 0;
  bool alone_ = false;

  Request flush_;
  List<Request> flushing_;       // Those whose flush is under way,
  List<Request> flush_waiting_;  // and those that came after it had begun.
  bool flush_running_ = false;
  bool continuing_ = false;
  Counters counters_;
  ImageWorkers workers_;
};

bool ImageNodeImpl::HasFile(const Image* image) const {
  return std::any_of(files_.begin(), files_.end(), [&](const File& file) { return file.image == image; });
}

// All of it or nothing.
Status ImageNodeImpl::Reach(FormatImage* image) {
  std::vector<File> added;
  for (; image != nullptr; image = image->backing_format()) {
    const Image* const bytes = image->data_file();
    const int fd = FileDescriptorOf(bytes);
    if (HasFile(bytes) || fd < 0) continue;  // Reached over a network, say.
    FileInfo info = TRY(DescribeFile(fd));
    // Reached only where the image has found its content; it may grow.
    info.size_bytes = kMaxFileBytes;
    added.push_back({.image = bytes, .node = CreateFileNode(engine_, TRY(Duplicate(fd)), info), .batch = {}});
  }
  std::move(added.begin(), added.end(), std::back_inserter(files_));
  return Ok();
}

// Finds the images that requests ask, from this one down, and forgets files of others. Nothing is in flight.
void ImageNodeImpl::StandOn(FormatImage* image) {
  image_ = image;
  chain_.clear();
  for (; image != nullptr; image = image->backing_format()) chain_.push_back(image);
  std::erase_if(files_, [&](const File& file) {
    return std::none_of(chain_.begin(), chain_.end(),
                        [&](const FormatImage* one) { return one->data_file() == file.image; });
  });
}

Status ImageNodeImpl::Start(const std::function<Status()>& prepare) {
  TRY(Reach(image_));
  StandOn(image_);
  return workers_.Start(kImageThreads + 2, prepare);
}

Status ImageNodeImpl::Exchange(const ImageChange& change) {
  Drain();
  Status exchanged = Ok();
  workers_.Call([&] { exchanged = ExchangeDrained(change); });
  return exchanged;
}

// On a thread of the node's own, which may open and close images; the loop's thread waits for it.
Status ImageNodeImpl::ExchangeDrained(const ImageChange& change) {
  TRY(image_->WriteBack());
  std::unique_ptr<FormatImage> next;
  const Status changed = [&]() -> Status {
    next = TRY(change(*image_));
    if (!next) return Ok();
    if (next->size_bytes() != size_bytes()) {
      return Fail(Code::kInvalidArgument, "the disk has {} bytes, and what it is to stand on {}",
                  size_bytes(), next->size_bytes());
    }
    return Reach(next.get());
  }();
  const bool goes_on = changed && next;
  StandOn(goes_on ? next.get() : image_);  // Gives back what was only reached.
  if (goes_on) workers_.Replace(std::move(next));
  return changed;
}

void ImageNodeImpl::Submit(List<Request> batch) {
  while (Request* request = batch.PopFront()) {
    if (const int error = CheckRequest(*request, size_bytes(), limits().read_only); error != 0) {
      Complete(request, error);
    } else if (request->op == Op::kFlush) {
      flush_waiting_.PushBack(request);
    } else if (GoPast(request)) {
      continue;
    } else {
      const bool turn = waiting_.empty() && running_ < kImageThreads && MayStart(*request);
      if (Changes(*request) && Ragged(*request)) ++ragged_;
      if (turn) {
        HandOver(request);
      } else {
        waiting_.PushBack(request);
      }
    }
  }
  SubmitFiles();
  StartFlush();
}

// Past the image, if it can say where to; then the request is on its way, or done.
bool ImageNodeImpl::GoPast(Request* request) {
  const bool write = request->op == Op::kWrite;
  if (!(write || request->op == Op::kRead) || request->fua || request->length == 0) return false;
  if (Ragged(*request) || (write && ragged_ != 0)) return false;
  for (FormatImage* image : chain_) {
    const Location location = image->Locate(request->op, request->offset, request->length);
    switch (location.kind) {
      case Location::Kind::kBeneath:
        continue;
      case Location::Kind::kZero:
        if (request->length > kMaxZeroBytes) return false;
        ZeroPieces(request->pieces, 0);
        ++counters_.direct;
        Complete(request, 0);
        return true;
      case Location::Kind::kStored:
        for (File& file : files_) {
          if (file.image == location.file) return PassOn(request, &file, image, location), true;
        }
        image->Leave(location.ticket);
        return false;
      case Location::Kind::kUnknown:
        return false;
    }
  }
  return false;
}

void ImageNodeImpl::PassOn(Request* request, File* file, FormatImage* image, const Location& location) {
  std::unique_ptr<Passage> passage;
  if (!idle_.empty()) {
    passage = std::move(idle_.back());
    idle_.pop_back();
  } else {
    passage = std::make_unique<Passage>();
    passage->node = this;
    passage->done = [](Request* done) {
      auto* passed = static_cast<Passage*>(done);
      passed->node->Passed(passed);
    };
  }
  passage->op = request->op;
  passage->offset = location.offset;
  passage->length = request->length;
  passage->pieces = request->pieces;
  passage->origin = request;
  passage->image = image;
  passage->ticket = location.ticket;
  ++passing_;
  changes_ += Changes(*request);
  ++counters_.direct;
  file->batch.PushBack(passage.release());  // The file's until Passed.
}

void ImageNodeImpl::Passed(Passage* passed) {
  std::unique_ptr<Passage> passage(passed);
  Request* const request = passage->origin;
  const int error = passage->error;
  passage->image->Leave(passage->ticket);
  --passing_;
  changes_ -= Changes(*request);
  Record(*request);
  idle_.push_back(std::move(passage));
  Complete(request, error);
  if (!waiting_.empty()) Continue();
}

bool ImageNodeImpl::MayStart(const Request& request) const {
  if (!Changes(request)) return true;
  return !alone_ && !(Ragged(request) && changes_ != 0);
}

void ImageNodeImpl::HandOver(Request* request) {
  ++running_;
  changes_ += Changes(*request);
  alone_ |= Changes(*request) && Ragged(*request);
  ++counters_.handed_over;
  trace::image_request(this, static_cast<int>(request->op), request->offset, request->length);
  workers_.Submit(request);
}

void ImageNodeImpl::Done(Request* request) {
  if (request == &flush_) {
    flush_running_ = false;
    List<Request> flushed = std::move(flushing_);
    const int error = flush_.error;  // Whoever is told may have the next one started.
    while (Request* one = flushed.PopFront()) Complete(one, error);
    return StartFlush();
  }
  --running_;
  changes_ -= Changes(*request);
  if (Changes(*request) && Ragged(*request)) {
    alone_ = false;
    --ragged_;
  }
  Record(*request);
  Complete(request, request->error);
  Continue();
}

// What waited for a thread may find by now that it needs none: as the second write to a new cluster.
void ImageNodeImpl::Continue() {
  if (std::exchange(continuing_, true)) return;
  while (!waiting_.empty() && running_ < kImageThreads && MayStart(*waiting_.front())) {
    Request* const request = waiting_.PopFront();
    if (!GoPast(request)) HandOver(request);
  }
  continuing_ = false;
  SubmitFiles();
}

void ImageNodeImpl::SubmitFiles() {
  for (File& file : files_) {
    if (!file.batch.empty()) file.node->Submit(std::exchange(file.batch, {}));
  }
}

void ImageNodeImpl::StartFlush() {
  if (flush_running_ || flush_waiting_.empty()) return;
  flush_running_ = true;
  flushing_ = std::exchange(flush_waiting_, {});
  ++counters_.flushes;
  workers_.Submit(&flush_);
}

// What runs on a thread may be waiting for those that pass, never the other way.
void ImageNodeImpl::Drain() {
  while (passing_ != 0 || running_ != 0 || flush_running_ || !waiting_.empty()) {
    if (passing_ != 0) {
      for (File& file : files_) file.node->Drain();
    } else {
      workers_.Wait();
    }
  }
}

// It may be waiting for those that pass, as any thread.
void ImageNodeImpl::AwaitJob() {
  while (passing_ != 0) {
    for (File& file : files_) file.node->Drain();
  }
  workers_.AwaitJob();
}

Status ImageNodeImpl::WriteBack() {
  Drain();
  Status finished = Ok();
  workers_.Call([&] { finished = image_->WriteBack(); });
  return finished;
}

Status ImageNodeImpl::Grow(uint64_t size_bytes) {
  Drain();
  if (size_bytes <= image_->size_bytes()) return Ok();
  Status grown = Ok();
  workers_.Call([&] { grown = image_->Resize(size_bytes, Preallocation::kOff); });
  return grown;
}

}  // namespace

Result<std::unique_ptr<ImageNode>> CreateImageNode(EventLoop* loop, IoEngine* engine,
                                                   std::unique_ptr<FormatImage> image,
                                                   const std::function<Status()>& prepare) {
  auto node = std::make_unique<ImageNodeImpl>(loop, engine, std::move(image));
  TRY(node->Start(prepare));
  return node;
}

}  // namespace berth::block
