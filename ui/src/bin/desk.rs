//! The page around services.

fn main() {
    ui::desk();
}
