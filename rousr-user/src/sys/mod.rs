//! Every raw system call and every unsafe line of user space.
