//! The pages that list and add up.

fn main() {
    ui::desk();
}
