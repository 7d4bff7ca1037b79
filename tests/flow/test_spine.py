from given import CLEAN_STAY, yuan

def test_a_clean_stay_is_paid_and_closed_with_nobody_touching_it(house):
    house.hears(*CLEAN_STAY)
    assert house.stage() == "closed"
    assert house.payouts() == [("paid", yuan("450.00"))]
    house.is_sound()
