// Sends one SCSI command without data from a lab guest, and tells how it ended:
//
//   scsi DEVICE BYTE...    prints `report: scsi=STATUS KEY/CODE/QUALIFIER`, all in hexadecimal
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int count, char** words) {
  unsigned char cdb[16] = {0}, sense[32] = {0};
  if (count < 3 || count - 2 > (int)sizeof(cdb)) return 2;
  for (int i = 2; i < count; ++i) cdb[i - 2] = (unsigned char)strtoul(words[i], NULL, 16);
  int fd = open(words[1], O_RDWR | O_NONBLOCK);
  if (fd < 0) fd = open(words[1], O_RDONLY | O_NONBLOCK);
  sg_io_hdr_t request = {.interface_id = 'S',
                         .dxfer_direction = SG_DXFER_NONE,
                         .cmd_len = (unsigned char)(count - 2),
                         .mx_sb_len = sizeof(sense),
                         .cmdp = cdb,
                         .sbp = sense,
                         .timeout = 60000};
  if (fd < 0 || ioctl(fd, SG_IO, &request) != 0) {
    perror(words[1]);
    return 1;
  }
  printf("report: scsi=%x %x/%x/%x\n", request.status, sense[2] & 0xf, sense[12], sense[13]);
  return 0;
}
