// A program in berth-vmm's place that says on descriptor 3 what it can see: as "entries=2 uid=123".
#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

int main() {
  int entries = 0;
  if (DIR* root = ::opendir("/")) {
    while (::readdir(root) != nullptr) ++entries;
  }
  char text[64];
  const int length = std::snprintf(text, sizeof(text), "entries=%d uid=%u", entries, ::getuid());
  return ::send(3, text, static_cast<size_t>(length), 0) == length ? 0 : 1;
}
