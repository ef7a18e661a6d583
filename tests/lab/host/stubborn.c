// A driver that does not let go of its device: unbinding waits until `echo 1 >/sys/module/stubborn/parameters/let_go`.
// It takes whatever its new_id is told.
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/pci.h>

static bool let_go;
module_param(let_go, bool, 0644);

static int stubborn_probe(struct pci_dev *device, const struct pci_device_id *id) {
  return 0;
}

static void stubborn_remove(struct pci_dev *device) {
  while (!READ_ONCE(let_go)) msleep(100);
}

// Without a table: with one, even an empty one, new_id takes only what is in it.
static struct pci_driver stubborn_driver = {
  .name = "stubborn",
  .probe = stubborn_probe,
  .remove = stubborn_remove,
};
module_pci_driver(stubborn_driver);

MODULE_DESCRIPTION("Keeps its device");
MODULE_LICENSE("GPL");
