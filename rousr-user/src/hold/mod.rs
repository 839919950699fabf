//! The hold store: hard links that keep replaced inodes linked until their last holder is gone.
